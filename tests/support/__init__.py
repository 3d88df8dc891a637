"""What test modules share."""

from pkgutil import iter_modules

import pytest

# A failed assert shows its values here as it does in a test module.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
