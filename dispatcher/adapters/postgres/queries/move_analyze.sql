-- Let the planner know what has come.
ANALYZE dispatcher.caller, dispatcher.job, dispatcher.job_input, dispatcher.job_result,
  dispatcher.idempotency, dispatcher.event, dispatcher.delivery, dispatcher.attempt,
  dispatcher.lane, dispatcher.destination, dispatcher.target, dispatcher.ordering_key,
  dispatcher.erased, dispatcher.event_erased, dispatcher.endpoint, dispatcher.audit
