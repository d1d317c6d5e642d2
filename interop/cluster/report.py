"""What came out of a run: a table, and the run drawn along its time."""

from __future__ import annotations

from collections import Counter

from interop.cluster.history import NATS_APART, Gap, History, Verdict

WIDTH, HEIGHT, LEFT, TOP = 1100, 300, 60, 20
BIN_S = 0.5
WORST = 8
COLOURS = {"broker": "#c0392b", "NATS": "#8e44ad", "links": "#d68910"}


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def lines(history: History, verdict: Verdict, gaps: list[Gap]) -> list[str]:
    """The result, for people."""
    kinds: dict[str, list[float]] = {}
    for gap in gaps:
        kinds.setdefault(_kind(gap.event), []).append(gap.seconds)
    every = [gap.seconds for gap in gaps]
    whole = [gap.seconds for gap in gaps if not gap.event.startswith(NATS_APART)]
    worst = sorted(gaps, key=lambda gap: -gap.seconds)[:WORST]
    table = [
        f"| {kind} | {len(found)} | {percentile(found, 0.5):.1f} | {percentile(found, 0.99):.1f} | {max(found):.1f} |"
        for kind, found in [*sorted(kinds.items()), ("all while NATS is whole", whole), ("all", every)]
        if found
    ]
    return [
        f"published {verdict.published}, confirmed {verdict.confirmed}, delivered {verdict.delivered}",
        f"lost {len(verdict.lost)}, invented {len(verdict.invented)}, out of order {len(verdict.disordered)}, "
        f"duplicates {verdict.duplicates}",
        f"never confirmed {verdict.doubtful}, of which {verdict.doubtful_delivered} were delivered",
        "",
        "| event | times | without a confirm, median s | p99 s | longest s |",
        "|---|---:|---:|---:|---:|",
        *table,
        "",
        *(f"{gap.seconds:.1f} s without a confirm in {gap.queue} from {gap.at:.1f} s: {gap.event}" for gap in worst),
        "",
        *(f"{count} x {error}" for error, count in history.errors.most_common()),
    ]


def _kind(what: str) -> str:
    return " ".join(word for word in what.split() if not word[-1].isdigit())


def timeline(history: History, until: float, title: str) -> str:
    """The rate of confirms over time as SVG, with what was done to the cluster."""
    bins = Counter(int(at / BIN_S) for at, _, _ in history.confirms)
    count = int(until / BIN_S) + 1
    top = max(bins.values(), default=1)
    width = WIDTH - LEFT - 10

    def x(at: float) -> float:
        return LEFT + at / until * width

    def y(rate: float) -> float:
        return TOP + HEIGHT - rate / top * HEIGHT

    points = " ".join(f"{x(n * BIN_S):.1f},{y(bins[n]):.1f}" for n in range(count))
    marks = []
    for begin, end, what in history.events:
        colour = next((each for word, each in COLOURS.items() if word in what), "#555555")
        if "links" in what:
            colour = COLOURS["links"]
        size = f'x="{x(begin):.1f}" y="{TOP}" width="{max(1.0, x(end) - x(begin)):.1f}" height="{HEIGHT}"'
        marks.append(f'<rect {size} fill="{colour}" fill-opacity="0.25"><title>{begin:.1f} s: {what}</title></rect>')
    ticks = [
        f'<text x="{x(at):.0f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(until) + 1, max(10, int(until / 10) // 10 * 10 or 10))
    ]
    legend = "  ".join(f'<tspan fill="{colour}">■ {word}</tspan>' for word, colour in COLOURS.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 80}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(marks)}'
        f'<polyline points="{points}" fill="none" stroke="#1f618d" stroke-width="1"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{top / BIN_S:.0f}/s</text>'
        f'<text x="{LEFT - 6}" y="{TOP + HEIGHT}" text-anchor="end">0</text>{"".join(ticks)}'
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 45}">{title}; confirms a second, and what was done to: {legend}</text>'
        "</svg>\n"
    )
