"""Events summed up by name, and printed as PyTorch prints them."""

from dataclasses import dataclass

from .recording import Event


@dataclass
class FunctionEventAvg:
    """All events of one name. Times in microseconds."""

    key: str
    input_shapes: str = ""
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        """The mean time of one."""
        return self.cpu_time_total / self.count


class EventList(list):
    """FunctionEventAvg by name (and by shapes, if asked for)."""

    @property
    def self_cpu_time_total(self) -> float:
        return sum(e.self_cpu_time_total for e in self)

    def total_average(self) -> FunctionEventAvg:
        whole = FunctionEventAvg("Total")
        for e in self:
            whole.count += e.count
            whole.cpu_time_total += e.cpu_time_total
            whole.self_cpu_time_total += e.self_cpu_time_total
        return whole

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_name_column_width: int = 55,
        header: str | None = None,
        **_: object,
    ) -> str:
        """The rows as text, the largest `sort_by` (self_cpu_time_total, cpu_time_total, cpu_time, count) first."""
        rows = list(self)
        if sort_by is not None:
            field = sort_by.replace("cuda", "cpu").replace("device", "cpu")
            if field not in ("self_cpu_time_total", "cpu_time_total", "cpu_time", "count"):
                raise ValueError(f"cannot sort by {sort_by!r}")
            rows.sort(key=lambda e: getattr(e, field), reverse=True)
        rows = rows[: row_limit if row_limit >= 0 else None]
        total = self.self_cpu_time_total or 1.0
        titles = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls"]
        shaped = any(e.input_shapes for e in rows)
        cells = [
            [
                e.key if len(e.key) <= max_name_column_width else e.key[: max_name_column_width - 3] + "...",
                f"{100 * e.self_cpu_time_total / total:.2f}%",
                shown(e.self_cpu_time_total),
                f"{100 * e.cpu_time_total / total:.2f}%",
                shown(e.cpu_time_total),
                shown(e.cpu_time),
                str(e.count),
                *([e.input_shapes] if shaped else []),
            ]
            for e in rows
        ]
        titles += ["Input Shapes"] if shaped else []
        widths = [max([len(t), *(len(c[i]) for c in cells)]) for i, t in enumerate(titles)]
        rule = "  ".join("-" * (w + 2) for w in widths)
        lines = ["  ".join(f"{c:>{w + 2}}" for c, w in zip(row, widths, strict=True)) for row in [titles, *cells]]
        text = "\n".join([*([header] if header else []), rule, lines[0], rule, *lines[1:], rule])
        return f"{text}\nSelf CPU time total: {shown(self.self_cpu_time_total)}\n"

    def __str__(self) -> str:
        return self.table()


def shown(microseconds: float) -> str:
    """12.345us, 1.234ms, 1.234s."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


def summed(events: list[Event], by_shape: bool = False) -> EventList:
    """Events of one name together, in the order in which names first appear."""
    found: dict[tuple, FunctionEventAvg] = {}
    for e in sorted(events, key=lambda e: e.start):
        shapes = str([list(s) for s in e.shapes]) if by_shape else ""
        row = found.setdefault((e.name, shapes), FunctionEventAvg(e.name, shapes))
        row.count += 1
        row.cpu_time_total += (e.end - e.start) / 1000
        row.self_cpu_time_total += (e.end - e.start - e.inside) / 1000
    return EventList(found.values())
