-- Drawing long series: where the extremes of a chunk are, so that it need not be unpacked; and how
-- many chunks of a series are small, so that they are found and joined.
ALTER TABLE tracker.metric_chunk ADD COLUMN min_step bigint;
ALTER TABLE tracker.metric_chunk ADD COLUMN max_step bigint;
ALTER TABLE tracker.metric_summary ADD COLUMN loose integer NOT NULL DEFAULT 0;
CREATE INDEX metric_summary_loose ON tracker.metric_summary (loose) WHERE loose >= 64;
