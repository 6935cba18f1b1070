"""Ring-polymer dynamics of ethanol by i-PI: python run.py [--steps N], with ethanol.pt and ethanol.xyz here."""

import argparse
from pathlib import Path

from ipi.scripting import InteractiveSimulation

from transip_md.engines import ipi

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--steps", type=int, default=100)
steps = options.parse_args().steps

text = (Path(__file__).parent / "input.xml").read_text()
text = text.replace("DRIVER", ipi.__file__).replace("STEPS", str(steps))
InteractiveSimulation(text).run(steps)
