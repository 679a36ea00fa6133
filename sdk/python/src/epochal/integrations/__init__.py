"""Callbacks for training libraries, one optional module each; none is imported before it is used.

from epochal.integrations.xgboost import EpochalCallback
"""
