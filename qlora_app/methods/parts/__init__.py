"""What methods of our own put into a model, in torch. Imported only when a model is at hand, never by the page."""
