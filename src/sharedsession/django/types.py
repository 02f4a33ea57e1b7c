"""Django's own types among attribute values."""

from __future__ import annotations

from django.db.models.enums import Choices
from django.utils.functional import Promise
from django.utils.safestring import SafeString

from ..assembly import VALUES

# A safe string stays one; a lazy text is stored as the text it is now (in the language of this request), a choice as
# its value: that is what Django itself stores of them.
VALUES.register("django.SafeString", SafeString, str.__str__, SafeString)
VALUES.register_family(Promise, str)
VALUES.register_family(Choices, lambda choice: choice.value)
