"""The error that a user can mend."""


class UserError(ValueError):
    """Something a user caused and can mend.

    The message is one line: what, where, what is allowed, what to do.
    """
