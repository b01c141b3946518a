"""How do runs become tables, figures and the page?"""
