"""The workstation's nights: new tasks come from an exchange, an adapter that helps with them goes back."""
