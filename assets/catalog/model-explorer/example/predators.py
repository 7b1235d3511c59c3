"""Predators and prey
Hares grow in number, lynxes eat hares. The two numbers follow each other round and round: the equations of Lotka (1925) and
Volterra (1926), with room for a limited number of hares.
"""
import numpy as np
from scipy.integrate import solve_ivp


def model(
    births: (0.1, 2, "Growth of the hares per year") = 1.0,
    hunting: (0.005, 0.1, 0.001, "Hares that a lynx catches, of each hare per year") = 0.03,
    use: (0.05, 1, "Young lynxes per hare eaten") = 0.6,
    deaths: (0.1, 2, "Deaths of the lynxes per year") = 0.8,
    room: (100, 5000, 50, "Hares for whom there is food") = 2000,
    hares: (1, 200, 1, "Hares at the beginning") = 40,
    lynxes: (1, 100, 1, "Lynxes at the beginning") = 9,
    view: ["over time", "against each other"] = "over time",
):
    def change(t, y):
        h, l = y
        eaten = hunting * h * l
        return [births * h * (1 - h / room) - eaten, use * eaten - deaths * l]

    t = np.linspace(0, 60, 1200)
    h, l = solve_ivp(change, (0, 60), [hares, lynxes], t_eval=t, rtol=1e-8).y
    if view == "against each other":
        return {"hares": h, "lynxes": l}
    return {"year": t, "hares": h, "lynxes": l, "Hares at rest": deaths / (use * hunting), "Most lynxes": l.max()}
