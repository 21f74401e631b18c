#!/bin/sh
true # TODO do more <- finding
