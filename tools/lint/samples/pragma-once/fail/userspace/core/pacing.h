// Paces closes. Pure.
#include <map>  // <- finding
#pragma once
