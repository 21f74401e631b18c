#ifndef FL_GUARD_H_  // <- finding
#define FL_GUARD_H_
#endif
