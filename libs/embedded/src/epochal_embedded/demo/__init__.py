"""`epochal demo`: real training, a killed service, and proof that nothing was lost.

`story` tells it step by step, `receiver` is the webhook's other end, `train_digits.py` and
`digits.yaml` are what is run: files a user could have written.
"""
