"""How are data made that stand in for a data set where nothing can be downloaded?"""
