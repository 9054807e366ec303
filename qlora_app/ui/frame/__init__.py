"""What stands around the tabs: the bar, its drawer, the login, and a demonstration's own first tab."""
