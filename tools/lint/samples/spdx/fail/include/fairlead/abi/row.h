/* The licence is missing. <- finding */
#pragma once
