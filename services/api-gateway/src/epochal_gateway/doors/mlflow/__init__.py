"""The MLflow door: the tracking server's REST surface over our own projects, runs and artifacts.

Every module serves one area and has a function `routes`, all of which `serving` puts together, but
these few: `door` serves, `routing` finds, `credentials` knows who calls, `session` carries the call
on, `reading` and `writing` hold to MLflow's JSON, `errors` speaks its codes, `names` its ids,
`filters` and `paging` its searches.
"""
