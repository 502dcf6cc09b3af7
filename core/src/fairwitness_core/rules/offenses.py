"""Which offences a request may name: NIBRS Group A, less what must never be asked (design.md 7, protocol.md 4.4 and 7).

Codes and names follow the FBI's National Incident-Based Reporting System (Group A, 2023 edition), a public document.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fairwitness_core.rules.violation import Violation

PREFIX = "nibrs:"

GROUP_A: Mapping[str, str] = MappingProxyType(
    {
        PREFIX + code: name
        for code, name in (
            ("09A", "murder and non-negligent manslaughter"),
            ("09B", "negligent manslaughter"),
            ("09C", "justifiable homicide"),
            ("100", "kidnapping or abduction"),
            ("101", "treason"),
            ("103", "espionage"),
            ("11A", "rape"),
            ("11B", "sodomy"),
            ("11C", "sexual assault with an object"),
            ("11D", "criminal sexual contact"),
            ("120", "robbery"),
            ("13A", "aggravated assault"),
            ("13B", "simple assault"),
            ("13C", "intimidation"),
            ("200", "arson"),
            ("210", "extortion or blackmail"),
            ("220", "burglary or breaking and entering"),
            ("23A", "pocket-picking"),
            ("23B", "purse-snatching"),
            ("23C", "shoplifting"),
            ("23D", "theft from a building"),
            ("23E", "theft from a coin-operated machine"),
            ("23F", "theft from a motor vehicle"),
            ("23G", "theft of motor vehicle parts"),
            ("23H", "other larceny"),
            ("240", "motor vehicle theft"),
            ("250", "counterfeiting or forgery"),
            ("26A", "false pretences or swindle"),
            ("26B", "credit card or cash machine fraud"),
            ("26C", "impersonation"),
            ("26D", "welfare fraud"),
            ("26E", "wire fraud"),
            ("26F", "identity theft"),
            ("26G", "hacking"),
            ("26H", "money laundering"),
            ("270", "embezzlement"),
            ("280", "stolen property offence"),
            ("290", "vandalism or damage to property"),
            ("35A", "drug offence"),
            ("35B", "drug equipment offence"),
            ("36A", "incest"),
            ("36B", "statutory rape"),
            ("360", "failure to register as a sex offender"),
            ("370", "obscene material"),
            ("39A", "betting or wagering"),
            ("39B", "operating or promoting gambling"),
            ("39C", "gambling equipment violation"),
            ("39D", "sports tampering"),
            ("40A", "prostitution"),
            ("40B", "assisting or promoting prostitution"),
            ("40C", "purchasing prostitution"),
            ("49A", "harbouring an escapee or concealing from arrest"),
            ("49B", "flight to avoid prosecution"),
            ("510", "bribery"),
            ("520", "weapon law violation"),
            ("521", "violation of the National Firearms Act"),
            ("522", "weapons of mass destruction"),
            ("526", "explosives"),
            ("58A", "import violation"),
            ("58B", "export violation"),
            ("61A", "federal liquor offence"),
            ("61B", "federal tobacco offence"),
            ("620", "wildlife trafficking"),
            ("64A", "human trafficking, commercial sex acts"),
            ("64B", "human trafficking, involuntary servitude"),
            ("720", "animal cruelty"),
        )
    }
)

# Group A as well, but immigration is a forbidden purpose.
IMMIGRATION: Mapping[str, str] = MappingProxyType(
    {
        PREFIX + "30A": "illegal entry into the United States",
        PREFIX + "30B": "false citizenship",
        PREFIX + "30C": "smuggling aliens",
        PREFIX + "30D": "re-entry after deportation",
        PREFIX + "49C": "flight to avoid deportation",
    }
)

CATCH_ALL = PREFIX + "90Z"


def offense_name(code: str) -> str | None:
    """Return the plain name of an offence that may be asked about, or None."""
    return GROUP_A.get(code)


def check_offense(code: str) -> list[Violation]:
    """Refuse every code that is not on the list: `offense.immigration`, `offense.catch_all`, `offense.unknown`."""
    if code in GROUP_A:
        return []
    hint = "name the NIBRS Group A offence that is being investigated, such as nibrs:220 (burglary)"
    if code in IMMIGRATION:
        name = IMMIGRATION[code]
        return [Violation("offense.immigration", f"{name} is an immigration matter, never asked here", hint, code)]
    if code == CATCH_ALL:
        message = '"all other offences" is not accepted: anything at all could hide behind it'
        return [Violation("offense.catch_all", message, hint, code)]
    return [Violation("offense.unknown", "the offence is not in NIBRS Group A", hint, code)]
