"""How long does a tea steep?"""
