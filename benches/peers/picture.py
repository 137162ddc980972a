"""One picture of the CPU time a request takes: bars for each workload, readable on light and on dark."""

import html

NAMES = {"tollgate": "Tollgate", "haproxy": "HAProxy", "nginx": "nginx + njs", "envoy": "Envoy", "passthrough": "Pingora, no policy"}
TITLES = {"accepted": "accepted lookup", "401": "unknown token (401)", "429": "rate used up (429)", "malformed": "malformed body (400)"}
WIDTH, LABEL, VALUE, BAR, GAP, HEADING, TOP = 760, 150, 60, 18, 6, 34, 46

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .heading { font-weight: 600 }
  .note { font-size: 12px; fill: #59636e }
  .other { fill: #8c959f }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    .other { fill: #656c76 }
    .ours { fill: #4493f8 }
  }
"""


def draw(summary):
    """The SVG; None when none of its workloads was measured."""
    groups = [(title, summary[name]) for name, title in TITLES.items() if summary.get(name)]
    bars = [figure["cpu_us"] for _, figures in groups for name, figure in figures.items() if name in NAMES]
    if not bars:
        return None
    scale = (WIDTH - LABEL - VALUE) / max(bars)
    parts, y = [], TOP
    for title, figures in groups:
        parts.append(f'<text class="heading" x="0" y="{y + 16}">{html.escape(title)}</text>')
        y += HEADING - 6
        for name, label in NAMES.items():
            if name not in figures:
                continue
            value = figures[name]["cpu_us"]
            kind = "ours" if name == "tollgate" else "other"
            width = max(1, value * scale)
            parts.append(f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{html.escape(label)}</text>')
            parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
            parts.append(f'<text x="{LABEL + width + 6:.1f}" y="{y + 14}">{value:.1f}</text>')
            y += BAR + GAP
        y += GAP * 2
    head = '<text class="heading" x="0" y="16">CPU time of one request, in microseconds</text>' \
        '<text class="note" x="0" y="34">the same policy everywhere, one core each; less is better</text>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img" '
            f'aria-label="CPU time of one request: Tollgate and its peers">\n<style>{STYLE}</style>\n{head}\n'
            + "\n".join(parts) + "\n</svg>\n")
