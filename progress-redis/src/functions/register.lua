redis.register_function('progress_1_claim', claim)
redis.register_function('progress_1_finish', finish)
redis.register_function('progress_1_open', open)
redis.register_function('progress_1_submit', submit)
redis.register_function('progress_1_request', request)
redis.register_function('progress_1_renew', renew)
redis.register_function('progress_1_expired', expired)
redis.register_function('progress_1_remove', remove)
redis.register_function('progress_1_agree', agree)
redis.register_function('progress_1_ingest', ingest)
redis.register_function('progress_publish', publish)
redis.register_function{
  function_name = 'progress_1_times', callback = times, flags = { 'no-writes' },
}
redis.register_function{
  function_name = 'progress_1_read', callback = read, flags = { 'no-writes' },
}
