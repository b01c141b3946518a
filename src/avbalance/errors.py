"""Errors that a user can mend."""


class UserError(ValueError):
    """Something a user caused and can mend.

    The message is one line: what, where, what is allowed, what to do.
    """


class NotFiniteError(UserError):
    """A loss, a weight or a prediction of a run is infinite or no number, so training has failed."""
