"""What tests are made of: small models, drawn data, videos, runs of commands. No test is here."""
