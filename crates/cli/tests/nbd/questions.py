# What a client can find out, of whatever server: a question and its answer a line.
import nbd, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_uri(sys.argv[1])
h.set_strict_mode(0)
def ask(what, f, *arguments):
    try: print(what, f(*arguments))
    except nbd.Error as error: print(what, error.errno)
for question in ("get_size", "get_protocol", "get_structured_replies_negotiated", "is_read_only", "is_rotational",
                 "can_flush", "can_trim", "can_zero", "can_fua", "can_df", "can_cache", "can_fast_zero",
                 "can_multi_conn"):
    ask(question, getattr(h, question))
ask("write", h.pwrite, b"abc", 0, nbd.CMD_FLAG_FUA)
ask("read", h.pread, 5, 0)
ask("trim", h.trim, 512, 0, nbd.CMD_FLAG_FUA)
for flags in (0, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_FAST_ZERO):
    ask("zero %d" % flags, h.zero, 1024, 512, flags)
ask("flush", h.flush)
ask("cache", h.cache, 512, 0)
for operation in (h.trim, h.zero, h.pread):
    ask("beyond", operation, 10, 65530)
    ask("nothing", operation, 0, 0)
ask("write beyond", h.pwrite, b"x" * 10, 65530)
ask("write nothing", h.pwrite, b"", 0)
ask("raises", h.pread, 1, 4242)
ask("full", h.pwrite, b"x", 4243)
ask("bad flags", h.trim, 512, 0, nbd.CMD_FLAG_DF)
extents = lambda context, offset, entries, error: print(context, offset, entries)
ask("extents", h.block_status, 65536, 0, extents)
ask("one extent", h.block_status, 512, 512, extents, nbd.CMD_FLAG_REQ_ONE)
h.shutdown()
