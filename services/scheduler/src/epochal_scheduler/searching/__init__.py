"""Samplers that learn from trials: TPE and NSGA-II (Optuna), CMA-ES (cmaes), Gaussian processes.

All are `domain.sweeps.trials.Suggester`s. A suggestion depends on the seed of the plan, its own
number and the trials told before it, so a sampler rebuilt from the history of a sweep goes on as
the lost one would. numpy, scipy, cmaes and optuna are imported when the first sweep needs them:
together they cost about 90 MB. Importing takes seconds and suggesting tens of milliseconds
(`docs/adr/0016-sweeps-suggest-inside.md` has figures): make and call them off the event loop.
"""
