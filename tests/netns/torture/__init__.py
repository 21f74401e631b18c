"""Everything that may happen to the LB tier, while connections live.

Each case holds two sets of connections through the same hosts at the same time:
the real arm, of which none may break, and a control arm, a service with the
guarantee "flow-table" and so without hop lists, of which more than 5 % must. A
case that does not hurt the control arm has proven nothing.

    arms.py     the lab, its services, the two arms and the judgement
    events.py   what repeats in the background, and what it counts
    wire.py     segments put on the wire
    tunnel.py   forged encapsulated packets, and a tap that follows them
    case_*.py   the cases; run.py runs them
"""
