local test = require "splay.test"
local describe, it, expect = test.describe, test.it, test.expect
local errno = require "splay.errno"

describe("errno", function()
  it("has Linux's numbers", function()
    for name, number in pairs {
      EPERM = 1, ENOENT = 2, EIO = 5, EAGAIN = 11, ENOMEM = 12, EEXIST = 17, EINVAL = 22,
      EFBIG = 27, ENOSPC = 28, ERANGE = 34, ENODATA = 61,
      EOPNOTSUPP = 95, ENOTSUP = 95, ETIMEDOUT = 110,
      EWOULDBLOCK = 11, EHWPOISON = 133,
    } do
      expect(errno[name]).equal(number)
      expect(errno.number(name)).equal(number)
    end
  end)

  it("goes from numbers to names", function()
    expect(errno.name(2)).equal("ENOENT")
    expect(errno.name(-2)).equal("ENOENT")
    expect(errno.name(95)).equal("EOPNOTSUPP")
    expect(errno.name(0)).is_nil()
    expect(errno.name(4711)).is_nil()
  end)

  it("has messages", function()
    expect(errno.message(17)).equal("File exists")
    expect(errno.message(-17)).equal("File exists")
    expect(errno.message("ENODATA")).equal("No data available")
    expect(errno.message("ENONE")).equal("Unknown error ENONE")
    expect(errno.message(999)).equal("Unknown error 999")
  end)

  it("does not take its functions for errors", function()
    expect(errno.number("name")).is_nil()
    expect(errno.number("ENONE")).is_nil()
  end)
end)

test.run()
