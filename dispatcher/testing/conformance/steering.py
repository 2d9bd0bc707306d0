"""What callers ask of deliveries, and needs no lease: steps of the state machine."""

from __future__ import annotations

from typing import Final

from dispatcher.core.changes import AskCancelDelivery, Change, EndDelivery, Redeliver
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, decide_cancel_delivery
from dispatcher.core.model import DeliveryState
from dispatcher.testing.conformance.run import Run

DELIVERIES_STEERED: Final = ("end-pending", "cancel-delivery", "redeliver")


def steered(run: Run, kind: str, pick: int, *, flag: bool, late: bool) -> Change | None:
    """A change of one of the deliveries, 0 being the latest; None if there is none for it.

    `late`: decided for a state that is long past.
    """
    known = [one.delivery for one in run.model.deliveries.values()]
    if kind == "redeliver" and not late:
        known = [delivery for delivery in known if delivery.state in FINAL_DELIVERY_STATES]
    if kind == "cancel-delivery" and flag:
        known = [delivery for delivery in known if delivery.state is DeliveryState.SENDING]
    if not known:
        return None
    delivery = known[-1 - pick % len(known)]
    match kind:
        case "redeliver":
            begins = delivery.round if late and flag else delivery.round + 1
            return Redeliver(delivery_id=delivery.id, round=begins, at=run.now)
        case "cancel-delivery":
            asked = None if late else decide_cancel_delivery(delivery, now=run.now)
            return asked or AskCancelDelivery(delivery.id, run.now)
        case _:
            to = DeliveryState.CANCELED if flag else DeliveryState.DEAD
            return EndDelivery(delivery.id, to, run.now)
