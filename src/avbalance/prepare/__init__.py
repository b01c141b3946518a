"""How do raw files become arrays?"""
