"""The demo: under real traffic a model is built, canaried and promoted, and bad ones are stopped."""
