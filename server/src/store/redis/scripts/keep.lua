#!lua flags=allow-oom
-- Makes an object that was written and compared the blob of its name (S15).
--
-- KEYS: the new key, the blob's key. Answers: {ok} | {gone}.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'gone'} end
redis.call('UNLINK', KEYS[2])
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PERSIST', KEYS[2])
return {'ok'}
