"""Hooks are put in at import or at once, once, and taken out without a trace."""

import sys

import epochal
import pytest
from epochal import autologging
from epochal.errors import InvalidArgument
from epochal.integrations.patching import Patches


class Trainer:
    def fit(self, x):
        return x


class Child(Trainer):
    pass


def doubled(fit):
    def fitted(self, x):
        return 2 * fit(self, x)

    return fitted


def test_patches_are_undone_in_reverse_and_leave_nothing_behind():
    patches, own = Patches(), Trainer.fit
    patches.wrap(Trainer, "fit", doubled)
    patches.wrap(Trainer, "fit", doubled)
    patches.wrap(Child, "fit", doubled)
    assert (Trainer().fit(1), Child().fit(1)) == (4, 8)
    patches.undo()
    patches.undo()
    assert Trainer.fit is own
    assert "fit" not in vars(Child)


def test_what_somebody_put_over_ours_stays():
    patches, own = Patches(), Trainer.fit
    patches.wrap(Trainer, "fit", doubled)
    theirs = doubled(Trainer.fit)
    Trainer.fit = theirs
    patches.undo()
    assert Trainer.fit is theirs
    Trainer.fit = own


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library that is not loaded yet, and what was hooked."""
    (tmp_path / "epochal_test_library.py").write_text("class Trainer:\n    fit = len\n")
    monkeypatch.syspath_prepend(tmp_path)
    hooked = []

    def hook(patches, log_models):
        module = sys.modules["epochal_test_library"]
        hooked.append(log_models)
        patches.wrap(module.Trainer, "fit", lambda fit: lambda x: -fit(x))

    monkeypatch.setitem(autologging._LIBRARIES, "test", {"epochal_test_library": hook})
    yield hooked
    epochal.autolog(disable=True)
    sys.modules.pop("epochal_test_library", None)


OTHERS = ["sklearn", "xgboost", "lightgbm", "keras", "lightning", "transformers"]


def test_a_library_is_hooked_when_it_is_imported_and_its_loader_is_its_own(library):
    epochal.autolog(exclude=OTHERS, log_models=True)
    assert library == []
    import epochal_test_library as test

    assert library == [True]
    assert test.Trainer.fit([1, 2]) == -2
    assert type(test.__spec__.loader).__name__ == "SourceFileLoader"
    epochal.autolog(exclude=OTHERS)  # again: hooked once, not twice
    assert test.Trainer.fit([1, 2]) == -2
    epochal.autolog(disable=True)
    assert test.Trainer.fit([1, 2]) == 2
    assert not any(type(one).__name__ == "_Watch" for one in sys.meta_path)


def test_what_is_excluded_is_left_alone_and_a_wrong_name_is_refused(library):
    epochal.autolog(exclude=[*OTHERS, "test"])
    import epochal_test_library as test

    assert test.Trainer.fit([1, 2]) == 2
    with pytest.raises(InvalidArgument, match="skleanr"):
        epochal.autolog(exclude=["skleanr"])
