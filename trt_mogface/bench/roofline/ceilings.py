"""What a machine can do at most: bytes a second, and operations a second by precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine_build.precision import Precision
from trt_mogface.errors import UsageError, first_line

MEASURED = "measured"


@dataclass(frozen=True)
class Ceilings:
    """The roof of a machine.

    Attributes:
        machine: Its name.
        bytes_per_s: Of a copy, those read and those written together.
        operations_per_s: Of dense matrix products, two for each multiply-add, by precision.
        source: `MEASURED`, or the data sheet.
        missing: Why a precision is left out there.
    """

    machine: str
    bytes_per_s: float
    operations_per_s: Mapping[Precision, float]
    source: str = MEASURED
    missing: Mapping[Precision, str] = field(default_factory=dict)

    def rate(self, precision: Precision) -> float:
        """Operations a second.

        Raises:
            UsageError: The machine has no such rate; the message says why and what there is.
        """
        if precision in self.operations_per_s:
            return self.operations_per_s[precision]
        reason = self.missing.get(precision, "not measured")
        there = ", ".join(self.operations_per_s) or "none"
        raise UsageError(f"{self.machine} has no ceiling in {precision} ({reason}); it has: {there}")

    def ridge(self, precision: Precision) -> float:
        """Operations a byte from which on a layer is bound by compute.

        Raises:
            UsageError: See `rate`.
        """
        return self.rate(precision) / self.bytes_per_s


def gathered(
    machine: str, bandwidth: float, rates: Iterable[tuple[Precision, Callable[[], float]]]
) -> Ceilings:
    """Ceilings from measurements of which some may fail: those are left out, with the reason.

    Args:
        machine: Its name.
        bandwidth: Bytes a second.
        rates: What measures the operations a second of each precision.
    """
    found: dict[Precision, float] = {}
    missing: dict[Precision, str] = {}
    for precision, measure in rates:
        rate = _rate_or_reason(measure)
        if isinstance(rate, str):
            missing[precision] = rate
        else:
            found[precision] = rate
    return Ceilings(machine, bandwidth, found, MEASURED, missing)


def _rate_or_reason(measure: Callable[[], float]) -> float | str:
    try:
        return measure()
    except Exception as error:  # noqa: BLE001 -- what a card or a library cannot do, it says in many ways
        return first_line(error)
