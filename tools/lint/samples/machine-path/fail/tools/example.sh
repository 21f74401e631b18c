#!/bin/sh
cat /root/notes.txt # <- finding
cat "/Users/alice/src/a" # <- finding
