"""The daemon: it holds the journal or stands by, reads its files again, makes passes, and shows how things stand."""
