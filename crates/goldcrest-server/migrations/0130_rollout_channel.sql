-- Whether the channel points at the release once the rollout is completed: not when it was for some of the channel's devices only.
ALTER TABLE rollout ADD COLUMN moves_channel BOOLEAN NOT NULL DEFAULT TRUE;
