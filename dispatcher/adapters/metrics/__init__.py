"""Metrics for Prometheus: what is counted, and the page that shows it."""

from __future__ import annotations

from dispatcher.adapters.metrics.observing import Metrics
from dispatcher.adapters.metrics.page import InFlight, MetricsPage

__all__ = ["InFlight", "Metrics", "MetricsPage"]
