# A chart of ratios as SVG: a group of bars for each line of standard input, "title TAB ratio TAB ratio...", an empty
# ratio where there is none. `names` are those of the ratios. The scale is logarithmic.

function text(x, y, class, anchor, content) {
  gsub(/&/, "\\&amp;", content); gsub(/</, "\\&lt;", content); gsub(/`/, "", content)
  return sprintf("<text x=\"%d\" y=\"%d\" class=\"%s\" text-anchor=\"%s\">%s</text>\n", x, y, class, anchor, content)
}
function at(ratio) { return left + width * log(ratio < 0.5 ? 0.5 : ratio) / log(top) }

BEGIN {
  FS = "\t"
  count = split(names, name, " ")
  split("#d97706 #7c3aed #0284c7 #059669", colour, " ")
  left = 410; width = 420; bar = 11; gap = 12; y = 66; least = 1
}
{ title[NR] = $1; for (i = 1; i <= count; i++) { ratio[NR, i] = $(i + 1); if ($(i + 1) > most) most = $(i + 1); if ($(i + 1) != "" && $(i + 1) < least) least = $(i + 1) } }
END {
  top = 10
  while (top < most) top *= 10
  for (n = 1; n <= NR; n++) {
    bars = 0
    for (i = 1; i <= count; i++) bars += ratio[n, i] != ""
    body = body text(at(least) - 10, y + bars * bar / 2 + 4, "t", "end", title[n])
    for (i = 1; i <= count; i++) {
      if (ratio[n, i] == "") continue
      x = at(ratio[n, i])
      from = x < left ? x : left
      body = body sprintf("<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1.5\" fill=\"%s\"/>\n", \
        from, y, (x < left ? left - x : x - left) + 0.5, bar - 2, colour[i])
      body = body text((x < left ? left : x) + 4, y + bar - 3, "v", "start", sprintf(ratio[n, i] < 10 ? "%.1f×" : "%.0f×", ratio[n, i]))
      y += bar
    }
    y += gap
  }
  height = y + 6
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-labelledby=\"c\">\n", \
    left + width + 60, height, left + width + 60, height
  print "<title id=\"c\">How many times as long as Slipway others take</title>"
  print "<style>text { font: 12px system-ui, sans-serif; fill: #1f2937 } .h { font-size: 15px; font-weight: 600 } .v, .a { font-size: 10px }"
  print ".a, .v { fill: #6b7280 } .g { stroke: #9ca3af; stroke-opacity: .35 } .o { stroke: #6b7280 } .p { fill: #fff }"
  print "@media (prefers-color-scheme: dark) { text { fill: #e5e7eb } .a, .v { fill: #9ca3af } .p { fill: #0d1117 } }</style>"
  printf "<rect class=\"p\" width=\"%d\" height=\"%d\"/>\n", left + width + 60, height
  printf "%s", text(14, 24, "h", "start", "How many times as long as Slipway others take")
  x = 14
  for (i = 1; i <= count; i++) {
    printf "<rect x=\"%d\" y=\"36\" width=\"10\" height=\"10\" rx=\"1.5\" fill=\"%s\"/>\n%s", x, colour[i], text(x + 15, 45, "t", "start", name[i])
    x += 30 + 8 * length(name[i])
  }
  for (tick = 1; tick <= top; tick *= 10) {
    x = at(tick)
    printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"54\" y2=\"%d\" class=\"%s\"/>\n%s", x, x, height - 10, tick == 1 ? "o" : "g", \
      text(x, 48, "a", "middle", tick == 1 ? "Slipway" : tick "×")
  }
  printf "%s</svg>\n", body
}
