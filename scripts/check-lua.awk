# House style of Lua sources: two-space indents, at most 100 columns and 500 lines a file (what is
# written above functions does not count), nothing trailing, and an annotation above every public
# function of a library.

function complain(line, what) {
  printf "%s:%d: %s\n", FILENAME, line, what
  failed = 1
}

FNR == 1 {
  previous = ""
  lines = 0
  library = FILENAME ~ /(^|\/)lualib\// && FILENAME !~ /\/(tests|meta)\//
}

{
  # awk counts bytes where the locale says so; continuation bytes of UTF-8 take no column.
  text = $0
  gsub(/[\200-\277]/, "", text)
  if (length(text) > 100) complain(FNR, "longer than 100 columns")
}
/\t/ { complain(FNR, "a tab") }
/\r$/ { complain(FNR, "a carriage return") }
/[^ ] +$/ || /^ +$/ { complain(FNR, "trailing blanks") }
!/^ *---/ && ++lines == 501 { complain(FNR, "more than 500 lines") }
library && /^function M\.[a-z]/ && previous !~ /^---/ {
  complain(FNR, "a public function without annotation")
}
{ previous = $0 }

END { exit failed }
