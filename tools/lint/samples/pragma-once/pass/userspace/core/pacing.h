// Paces closes. Pure.
#pragma once

#include <map>
