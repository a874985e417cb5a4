"""A sign-in and the session it becomes, wherever its parts are stored."""
