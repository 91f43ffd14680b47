"""EmoBench: emotional understanding and application, in English and Chinese; see the README of this folder."""
