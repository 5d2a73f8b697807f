"""`Ceilings` of a machine: bytes per second, and operations per second by precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine_build.precision import Precision
from trt_mogface.errors import ArgumentError, first_line

MEASURED = "measured"


@dataclass(frozen=True)
class Ceilings:
    """Ceilings of a machine.

    Attributes:
        machine: Name of the machine.
        bytes_per_s: Bandwidth of a copy, bytes read and written together.
        operations_per_s: Rate of dense matrix products by precision, two operations for each multiply-add.
        source: `MEASURED`, or the data sheet.
        missing: Reason for each precision without a rate.
    """

    machine: str
    bytes_per_s: float
    operations_per_s: Mapping[Precision, float]
    source: str = MEASURED
    missing: Mapping[Precision, str] = field(default_factory=dict)

    def rate(self, precision: Precision) -> float:
        """Return the operations per second in a precision.

        Raises:
            ArgumentError: If the machine has no such rate; the message has the reason and the known ones.
        """
        if precision in self.operations_per_s:
            return self.operations_per_s[precision]
        reason = self.missing.get(precision, "not measured")
        known = ", ".join(self.operations_per_s) or "none"
        problem = f"{self.machine} has no ceiling in it ({reason}); use {known}"
        raise ArgumentError("precision", problem, precision)

    def ridge(self, precision: Precision) -> float:
        """Return the operations per byte above which compute limits a layer."""
        return self.rate(precision) / self.bytes_per_s


def gathered(
    machine: str, bandwidth: float, rates: Iterable[tuple[Precision, Callable[[], float]]]
) -> Ceilings:
    """Return ceilings from measurements, some of which may fail: those become `Ceilings.missing`.

    Each of `rates` is a precision and a function that measures the operations per second.
    """
    found: dict[Precision, float] = {}
    missing: dict[Precision, str] = {}
    for precision, measure in rates:
        try:
            found[precision] = measure()
        except Exception as error:  # noqa: BLE001, PERF203 -- cards and libraries refuse in many ways
            missing[precision] = first_line(error)
    return Ceilings(machine, bandwidth, found, MEASURED, missing)
