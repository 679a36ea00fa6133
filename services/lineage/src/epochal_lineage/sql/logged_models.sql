-- model --
SELECT name, project, display_name, model_type, run, status, status_message, params, tags, creator,
       create_time, update_time FROM logged_model WHERE name = $1

-- metrics --
SELECT logged_model, metric, run, dataset_name, dataset_digest, value, time_us, step
  FROM logged_metric WHERE logged_model = ANY($1)
 ORDER BY logged_model, metric, dataset_name, dataset_digest, run

-- links --
SELECT run, logged_model, produced, step, position FROM linked_model
 WHERE run = ANY($1) ORDER BY position, logged_model
