"""Answers in the languages besides Italian, by the words of their files."""

import pytest

from ndino.languages.answers import reader

# An answer and the option that it names ("-" for none); two answers that mean the same; an answer and yes,
# no or neither.
READ = {
    "es": """
La respuesta es B = B | No es A, es B = B | A, mejor dicho, C = C | b) un gato = B | Me quedo con la B = B
Creo que la opción correcta es la C = C | Sin duda, la B = B | B porque es azul = B | Ni A ni B, sino C = C
La A queda descartada = - | A o B = - | La opción A es falsa = - | A la derecha = - | B (incorrecta) = -
2 mil ~ 2000 | dos mil ~ 2.000 | 2 millones de euros ~ 2.000.000 € | n.º 5 ~ 5 | menos cinco ~ -5
3 mil millones ~ 3000000000 | Es de color rojo ~ rojo | 5 kilómetros por hora ~ 5 km/h | treinta y una ~ 31
Se trata de un perro ~ perro | Sí, claro : yes | Si hay : - | No : no | La respuesta es sí : yes | Sí y no : -
""",
    "ca": """
La resposta és B = B | No és A, és B = B | A, més ben dit, C = C | M'inclino per la C = C | A o B = -
Sens dubte, la B = B | B perquè és blau = B | Ni A ni B, sinó C = C | L'A queda descartada = -
A la dreta = - | B (incorrecta) = - | dos milions d'euros ~ 2.000.000 € | vint-i-dues ~ 22 | l'home ~ home
2 mil ~ 2000 | 5 mil·límetres ~ 5 mm | dues-centes ~ 200 | És de color vermell ~ vermell
Sí, és clar : yes | Si n'hi ha : - | No : no | La resposta és no : no | Sí i no : -
""",
}


@pytest.mark.parametrize("code", READ)
def test_answers_of_a_language_are_read(code):
    answers, wrong = reader(code), []
    for line in READ[code].replace("\n", " | ").strip(" |").split(" | "):
        if " ~ " in line:
            right = answers.same(*line.split(" ~ "))
        elif " : " in line:
            said, meant = line.split(" : ")
            right = answers.yes_or_no(said) is {"yes": True, "no": False, "-": None}[meant]
        else:
            said, letter = line.split(" = ")
            right = answers.letter(said, "ABCD") == (None if letter == "-" else letter)
        wrong += [] if right else [line]
    assert not wrong
