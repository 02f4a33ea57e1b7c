"""Tests of ids that travel by URL and hidden form field."""
