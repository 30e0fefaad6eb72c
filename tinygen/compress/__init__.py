"""What makes a network smaller or faster at the price of some accuracy. Techniques take and give a `Network`."""
