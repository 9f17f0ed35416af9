"""
Studies on small networks, one readable script each: digits learnt from noise, and the theorem measured.

    experiments                        every experiment that `undertow run` knows, and the table of studies
    digits, theorem                    what is measured: configuration, arms, measurements; begin here
    digits_networks, theorem_networks  the networks
    theorem_steps                      a teacher's and a student's steps, to first order and beyond
    digits_document, theorem_document  the study run, and what it says; theorem_figures are its tables and plots
"""
