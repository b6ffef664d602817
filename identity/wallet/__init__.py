"""The holder's side of DCP 1.0: credentials kept, presented and asked for, and the tokens of the participant."""
