"""An epidemic: the SIR model
Everybody can catch the disease, has it, or has had it. How many of a town are ill at once, and how many never catch it?

After Kermack and McKendrick (1927), doi:10.1098/rspa.1927.0118.
"""
import numpy as np
from scipy.integrate import solve_ivp


def model(
    contacts: (0.05, 1.0, "People infected by one ill person per day, at the beginning") = 0.35,
    ill_for: (2, 21, "Days ill") = 7.0,
    vaccinated: (0, 95, 1, "Vaccinated, percent") = 0,
    inhabitants: (1000, 100000, 1000, "Inhabitants") = 20000,
    days: (30, 365, 5, "Days shown") = 180,
):
    recovery = 1 / ill_for
    immune = inhabitants * vaccinated / 100
    start = [inhabitants - immune - 1, 1, immune] if immune < inhabitants - 1 else [0, 1, inhabitants - 1]

    def change(t, y):
        s, i, _ = y
        infections = contacts * s * i / inhabitants
        return [-infections, infections - recovery * i, recovery * i]

    t = np.linspace(0, days, 400)
    s, i, r = solve_ivp(change, (0, days), start, t_eval=t, rtol=1e-7).y
    return {
        "day": t, "can catch it": s, "ill": i, "have had it or are vaccinated": r,
        "Basic reproduction number": contacts * ill_for,
        "Most ill at once": round(i.max()),
        "… on day": round(t[i.argmax()]),
        "Never ill, of those not vaccinated": f"{100 * s[-1] / start[0]:.0f} %" if start[0] else "–",
    }
