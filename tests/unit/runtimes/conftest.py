"""The fixture `template_of`, see there."""

from template_samples import template_of as template_of
