"""Which generated data stand in for datasets that cannot be downloaded?"""
